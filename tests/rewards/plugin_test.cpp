#include "rewards/plugin.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>

#include "rewards/open_reward.h"
#include "rewards/plugin_reward.h"
#include "tests/rewards/fixtures.h"

namespace fs = std::filesystem;

namespace thalweg::testing {
namespace {

PluginInfo only_one(const fs::path& dir) {
  const auto found = scan_plugins({dir});
  EXPECT_EQ(found.size(), 1u);
  return found.empty() ? PluginInfo{} : found.front();
}

/// The one listing of a folder that holds a copy of `library`.
PluginInfo listing_of(const fs::path& library) {
  const auto dir = scratch_dir() / "listing" / library.stem();
  fs::create_directories(dir);
  fs::copy_file(library, dir / library.filename(), fs::copy_options::skip_existing);
  return only_one(dir);
}

TEST(ScanPlugins, ListsWhatTheColourRewardSaysOfItself) {
  const auto plugins = scan_plugins(built_plugins());
  const auto color =
      std::find_if(plugins.begin(), plugins.end(), [](const auto& p) { return p.plugin == "color"; });
  ASSERT_NE(color, plugins.end());
  EXPECT_TRUE(color->usable) << color->reason;
  EXPECT_EQ(color->id, "org.thalweg.color");
  EXPECT_EQ(color->dimensions, std::vector<std::string>{"redness"});
  EXPECT_EQ(color->required_inputs, std::vector<std::string>{"frames"});
  EXPECT_EQ(color->devices, std::vector<std::string>{"cpu"});
  EXPECT_TRUE(color->has_gradient);
  EXPECT_TRUE(color->reason.empty());
}

TEST(ScanPlugins, ListsEveryRewardOfALibrary) {
  const auto plugins = scan_plugins({probe_library().parent_path()});
  ASSERT_EQ(plugins.size(), 2u);
  EXPECT_EQ(plugins[0].id, "org.thalweg.test.probe");
  EXPECT_EQ(plugins[0].optional_inputs, (std::vector<std::string>{"prompts", "mask"}));
  EXPECT_EQ(plugins[0].features, std::vector<std::string>{"nondeterministic"});
  EXPECT_FALSE(plugins[0].has_gradient);
  EXPECT_EQ(plugins[1].id, "org.thalweg.test.energy");
  EXPECT_EQ(plugins[1].required_inputs, std::vector<std::string>{"latents"});
  EXPECT_TRUE(plugins[1].has_gradient);
}

TEST(ScanPlugins, AnAbsentFolderHoldsNone) {
  EXPECT_TRUE(scan_plugins({scratch_dir() / "nowhere"}).empty());
}

TEST(ScanPlugins, SaysWhyALibraryCannotBeUsed) {
  const std::map<std::string, std::string> reasons = {
      {"WRONG_MAJOR", "was built for version 1.3 of the plugin ABI, this program has 0.3"},
      {"INIT_FAILS", "refused to start (status -5)"},
      {"NO_FACTORY", "holds no thalweg.reward-factory/1"},
      {"NO_REWARDS", "says that it holds 0 rewards"},
      {"BAD_NAME", "has a descriptor whose texts are not clean UTF-8"},
      {"CREATE_FAILS", "made no instance: not today"}};
  for (const auto& [fault, reason] : reasons) {
    const auto info = listing_of(faulty_library(fault));
    EXPECT_FALSE(info.usable) << fault;
    EXPECT_EQ(info.plugin, fault);
    EXPECT_NE(info.reason.find(reason), std::string::npos) << fault << ": " << info.reason;
  }
}

TEST(ScanPlugins, ANewerMinorVersionIsUsable) {
  const auto info = listing_of(faulty_library("NEWER_MINOR"));
  EXPECT_TRUE(info.usable) << info.reason;
}

TEST(ScanPlugins, FilesThatAreNoLibrariesAreListedNotLoaded) {
  const auto dir = scratch_dir() / "files";
  const auto listed = [&](const std::string& name) {
    for (const auto& info : scan_plugins({dir}))
      if (info.plugin == name) return info.usable ? "usable" : info.reason;
    return std::string("not listed");
  };
  write_text(dir / "text.so", "#!/bin/sh\necho this is no library\n");
  write_text(dir / "empty.so", "");
  write_text(dir / "ignored.txt", "");
  fs::create_directories(dir / "folder.so");
  EXPECT_NE(listed("text").find("is not an ELF shared library"), std::string::npos);
  EXPECT_NE(listed("empty").find("is not an ELF shared library"), std::string::npos);
  EXPECT_NE(listed("folder").find("is not a file"), std::string::npos);
  EXPECT_EQ(listed("ignored"), "not listed");

  // A library that was cut short: mapping it would be fatal.
  const auto whole = faulty_library("SCORE_NAN");
  fs::copy_file(whole, dir / "cut.so");
  fs::resize_file(dir / "cut.so", fs::file_size(whole) / 4);
  EXPECT_NE(listed("cut").find("is cut short"), std::string::npos) << listed("cut");

  // A whole library that is no plugin.
  write_text(scratch_dir() / "plain.c", "int plain(void); int plain(void) { return 1; }\n");
  build_plugin(scratch_dir() / "plain.c", dir / "plain.so");
  EXPECT_NE(listed("plain").find("exports no symbol thalweg_entry"), std::string::npos) << listed("plain");

  // One that needs what is not there.
  write_text(scratch_dir() / "needy.c",
             "int absent(void); int needy(void); int needy(void) { return absent(); }\n");
  build_plugin(scratch_dir() / "needy.c", dir / "needy.so");
  EXPECT_NE(listed("needy").find("cannot be loaded"), std::string::npos) << listed("needy");
}

TEST(FindPlugin, ABareNameIsLookedUpInTheFolders) {
  const auto found = find_plugin("color", built_plugins(), "", "/rewards/0");
  EXPECT_EQ(found.path, color_library());
  EXPECT_EQ(found.name, "color");
}

TEST(FindPlugin, AnUnknownNameIsAnErrorWithTheNearestOne) {
  const auto e = error_of([] { find_plugin("colour", built_plugins(), "", "/rewards/0"); });
  EXPECT_EQ(e.place, "/rewards/0/plugin");
  EXPECT_NE(e.message.find("did you mean \"color\"?"), std::string::npos) << e.message;
  EXPECT_EQ(error_of([] { find_plugin("x/absent.so", built_plugins(), "", "/r"); }).place, "/r/plugin");
}

TEST(FindPlugin, ALibraryFromOutsideGetsAProcessUnlessTheJobSaysOtherwise) {
  const auto probe = probe_library().string(), color = color_library().string();
  const auto own = [](const std::string& path, const std::string& isolation) {
    return find_plugin(path, built_plugins(), isolation, "/r").own_process;
  };
  EXPECT_TRUE(own(probe, ""));
  EXPECT_FALSE(own(probe, "inproc"));
  EXPECT_FALSE(own(color, ""));
  EXPECT_TRUE(own(color, "process"));
  EXPECT_TRUE(own("color", "process"));
  EXPECT_EQ(find_plugin(probe, built_plugins(), "inproc", "").name, "probe");
  EXPECT_EQ(error_of([&] { find_plugin(probe, built_plugins(), "thread", "/r"); }).place, "/r/isolation");
}

TEST(Locate, WhatSpeaksToServersGetsAProcessUnlessTheJobSaysOtherwise) {
  const auto own = [](const std::string& plugin, const std::string& isolation) {
    RewardSpec spec;
    spec.plugin = plugin;
    spec.isolation = isolation;
    spec.pointer = "/rewards/0";
    return locate(spec, built_plugins()).own_process;
  };
  EXPECT_TRUE(own("remote", ""));
  EXPECT_TRUE(own("remote", "process"));
  EXPECT_FALSE(own("remote", "inproc"));
  EXPECT_FALSE(own("color", ""));
}

TEST(ScanPlugins, ScriptsAreListedWithWhatTheirFirstLineSays) {
  const auto plugins = scan_plugins(built_plugins());
  const auto& last = plugins.back();
  EXPECT_EQ(last.plugin, "python");
  EXPECT_TRUE(last.usable);
  EXPECT_EQ(last.description.find("A function in a Python file"), 0u) << last.description;
}

TEST(FindPlugin, AScriptIsAPluginWithAProcess) {
  const auto python = find_plugin("python", built_plugins(), "", "/r");
  EXPECT_TRUE(python.is_script() && python.own_process);
  EXPECT_EQ(error_of([] { find_plugin("python", built_plugins(), "inproc", "/r"); }).place, "/r/isolation");
}

// A stranger's script would be started before anything holds it.
TEST(FindPlugin, AScriptFromElsewhereIsNoPlugin) {
  const auto script = scratch_dir() / "stranger.py";
  std::ofstream(script) << "print(1)\n";
  const auto e = error_of([&] { find_plugin(script.string(), built_plugins(), "", "/r"); });
  EXPECT_EQ(e.place, "/r/plugin");
  EXPECT_NE(e.message.find("\"plugin\": \"python\""), std::string::npos) << e.message;
}

TEST(FindPlugin, ALinkInAnotherFolderIsNotTheInstallation) {
  const auto link = scratch_dir() / "links" / "mine.so";
  fs::create_directories(link.parent_path());
  fs::create_symlink(probe_library(), link);
  EXPECT_TRUE(find_plugin(link.string(), built_plugins(), "", "/r").own_process);
}

TEST(Template, TheCommandOfItsReadmeBuildsAWorkingPlugin) {
  // Outside of the tree, against a copy of the headers, as after an installation.
  const auto folder = scratch_dir() / "outside";
  fs::create_directories(folder / "include");
  fs::copy(source_dir() / "plugins/include", folder / "include", fs::copy_options::recursive);
  fs::copy_file(source_dir() / "plugins/template/c/brightness.c", folder / "brightness.c");
  std::ifstream readme(source_dir() / "plugins/template/README.md");
  std::string line, command;
  while (std::getline(readme, line))
    if (line.rfind("cc ", 0) == 0) command = line;
  ASSERT_FALSE(command.empty()) << "the README shows no command";
  const auto built = run_command("cd '" + folder.string() + "' && THALWEG_INCLUDE=include && " + command);
  ASSERT_EQ(built.status, 0) << built.output;

  PluginReward model(folder / "brightness.so", Json::object(), Activation{});
  EXPECT_EQ(model.info().dimensions_K, std::vector<std::string>{"brightness"});
  const auto frames = random_frames(3, 2, 4, 5);
  const auto values = model.score(frames_input(frames)).values_BK;
  EXPECT_TRUE(at::allclose(values.squeeze(1), frames.mean({1, 2, 3, 4}), 1e-6, 1e-6));
  EXPECT_EQ(model.info().gradient_of, GradientOf::none);

  const auto e = error_of([&] {
    PluginReward(folder / "brightness.so", Json{{"gain", 2}}, Activation{}, "/rewards/0");
  });
  EXPECT_EQ(e.place, "/rewards/0/config/gain");
  EXPECT_NE(e.message.find("no configuration"), std::string::npos);
}

}  // namespace
}  // namespace thalweg::testing
