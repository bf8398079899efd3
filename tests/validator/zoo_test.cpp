// Every plugin of tests/plugins spoils one thing: the validator names the clause, and no other.
#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "plugins/validator/validator.h"
#include "tests/abi/compiler.h"

namespace thalweg::testing {
namespace {

using validator::ClauseResult;
using validator::Options;
using validator::Outcome;
using Clauses = std::set<std::string>;

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

std::filesystem::path zoo(const std::string& name) {
  return std::filesystem::path(THALWEG_BUILD_DIR) / "tests/plugins" / (name + ".so");
}

Options options() {
  Options o;
  o.prompts = {"a red circle left of a blue square", "a yellow circle right of a green square"};
  o.timeout_s = 20;
  return o;
}

Clauses failed(const std::vector<ClauseResult>& results) {
  Clauses clauses;
  for (const auto& result : results)
    if (result.outcome == Outcome::failed) clauses.insert(result.clause);
  return clauses;
}

std::string detail(const std::vector<ClauseResult>& results, const std::string& clause) {
  for (const auto& result : results)
    if (result.clause == clause) return result.detail;
  return "there is no clause " + clause;
}

std::string table(const std::vector<ClauseResult>& results) {
  std::string text;
  for (const auto& r : results)
    if (r.outcome != Outcome::ok) text += r.clause + ": " + r.detail + "\n";
  return text;
}

struct Animal {
  const char* name;
  Clauses broken;
  bool sanitizer_interferes = false;  // it replaces the crash, or the heap that is measured
};

class Zoo : public ::testing::TestWithParam<Animal> {};

TEST_P(Zoo, TheValidatorNamesTheClause) {
  const auto& animal = GetParam();
  if (kSanitized && animal.sanitizer_interferes) GTEST_SKIP() << "not under a sanitizer";
  auto o = options();
  if (animal.broken.count("manners.returns") > 0) o.timeout_s = 1;
  const auto results = validator::validate(zoo(animal.name), o);
  EXPECT_EQ(failed(results), animal.broken) << table(results);
}

INSTANTIATE_TEST_SUITE_P(
    Plugins, Zoo,
    ::testing::Values(
        Animal{"good", {}}, Animal{"newer_minor", {}}, Animal{"says_nondeterministic", {}},
        Animal{"template", {}}, Animal{"two_inputs", {}}, Animal{"talks", {}}, Animal{"notes_requests", {}},
        // The file and its entry.
        Animal{"missing_symbol", {"entry.symbol"}}, Animal{"wrong_major", {"abi.major"}},
        Animal{"refuses_to_start", {"entry.init"}}, Animal{"null_descriptor", {"descriptor.texts"}},
        Animal{"requires_the_unknown", {"descriptor.inputs"}}, Animal{"missing_function", {"life.init"}},
        Animal{"early_host_call", {"host.not-before-init"}},
        // Failing, and saying so.
        Animal{"error_status", {"score.runs"}}, Animal{"error_always", {"score.runs"}},
        Animal{"silent_error", {"score.runs", "errors.status", "errors.text"}},
        Animal{"accepts_all", {"config.unknown-key"}},
        // What is written.
        Animal{"nan_value", {"score.values"}}, Animal{"infinite", {"score.values"}},
        Animal{"unwritten", {"score.values"}}, Animal{"explains", {"score.values"}},
        Animal{"notes_nobody", {"host.notes"}},
        Animal{"out_of_bounds", {"score.within-bounds", "score.sizes", "score.nan-input"}},
        Animal{"writes_inputs", {"score.inputs-unchanged"}},
        Animal{"unstable_dimensions", {"life.dimensions-fixed", "life.activate-again"}},
        // On what it depends.
        Animal{"nondeterministic", {"score.determinism"}}, Animal{"batch_dependent", {"score.batch-size"}},
        Animal{"wins", {}}, Animal{"mixes_groups", {"group.others"}},
        Animal{"order_dependent", {"score.batch-size", "score.batch-order", "score.seeds"}},
        Animal{"nan_spreads", {"score.batch-size", "score.nan-input", "gradient.finite-differences"}},
        Animal{"shared_state", {"life.two-instances"}},
        Animal{"thread_bound", {"threads.any", "threads.parallel"}},
        Animal{"reads_past_size", {"request.size", "manners.no-crash"}, true},
        // Manners.
        Animal{"throws", {"score.runs", "manners.no-exceptions"}},
        Animal{"prints", {"manners.standard-output"}},
        Animal{"crashes", {"score.runs", "manners.no-crash"}, true},
        Animal{"aborts", {"score.runs", "manners.no-crash"}},
        Animal{"exits", {"score.runs", "manners.no-exit"}},
        Animal{"quits", {"score.runs", "manners.no-exit"}}, Animal{"dies", {}},
        Animal{"loops", {"score.runs", "manners.returns"}},
        Animal{"sleeps", {"life.activate", "manners.returns"}}, Animal{"uses_rand", {"manners.random-state"}},
        Animal{"changes_state", {"manners.environment", "manners.signals", "manners.floating-point"}},
        Animal{"careless",
               {"manners.environment", "manners.signals", "manners.floating-point", "score.determinism"}},
        Animal{"closes", {"manners.environment"}}, Animal{"leaks_files", {"life.nothing-left"}},
        Animal{"leaks_memory", {"life.nothing-left"}, true}, Animal{"leaks_threads", {"life.nothing-left"}},
        Animal{"maps_memory", {"life.nothing-left"}, true},
        // The gradient.
        Animal{"wrong_gradient", {"gradient.finite-differences"}},
        Animal{"failing_gradient", {"gradient.runs", "gradient.finite-differences"}},
        Animal{"half_gradient", {"gradient.finite-differences"}}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(ZooIsWhole, EveryPluginOfTheFolderIsTried) {
  Clauses tried;
  const auto* suite = ::testing::UnitTest::GetInstance();
  for (int i = 0; i < suite->total_test_suite_count(); ++i)
    for (int k = 0; k < suite->GetTestSuite(i)->total_test_count(); ++k) {
      const std::string name = suite->GetTestSuite(i)->GetTestInfo(k)->name();
      tried.insert(name.substr(name.find('/') + 1));
    }
  for (const auto& entry : std::filesystem::directory_iterator(source_dir() / "tests/plugins")) {
    if (!entry.is_directory()) continue;
    EXPECT_EQ(tried.count(entry.path().filename().string()), 1u) << entry.path();
  }
}

// Files that are no plugin are named before anything of them is run.
class Files : public ::testing::Test {
 protected:
  static std::string good_bytes() {
    std::ifstream file(zoo("good"), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static std::vector<ClauseResult> tried(const std::string& name, const std::string& bytes) {
    const auto path = scratch_dir() / (name + ".so");
    write_text(path, bytes);
    return validator::validate(path, options());
  }
};

TEST_F(Files, TextTruncatedOtherProcessor) {
  auto results = tried("text", "not a library\n");
  EXPECT_EQ(failed(results), Clauses{"file.library"});
  EXPECT_EQ(detail(results, "file.library"), "the file is not an ELF shared library");
  EXPECT_EQ(detail(results, "file.loads"), "needs file.library");

  auto bytes = good_bytes();
  results = tried("truncated", bytes.substr(0, bytes.size() / 3));
  EXPECT_EQ(failed(results), Clauses{"file.library"});
  EXPECT_NE(detail(results, "file.library").find("cut short"), std::string::npos) << table(results);

  for (const auto& [at, byte] : {std::pair<size_t, char>{4, 1}, {18, 8}}) {  // 32 bits; MIPS
    auto other = bytes;
    other[at] = byte;
    results = tried("other" + std::to_string(at), other);
    EXPECT_EQ(detail(results, "file.library"), "the file was built for another processor");
  }
  EXPECT_EQ(failed(validator::validate(scratch_dir() / "absent.so", options())), Clauses{"file.library"});
}

TEST_F(Files, AMissingLibraryIsNamed) {
  const auto folder = scratch_dir() / "needs";
  write_text(folder / "absent.c", "int absent(void) { return 1; }\n");
  build_plugin(folder / "absent.c", folder / "libabsent.so", "-fvisibility=default");
  write_text(folder / "needs.c",
             "int absent(void);\n#define ZOO_START if (absent() == 2) return THALWEG_INTERNAL\n#include \"" +
                 (source_dir() / "tests/plugins/zoo.h").string() + "\"\n");
  build_plugin(folder / "needs.c", folder / "needs.so",
               "-Wl,--no-as-needed -L'" + folder.string() + "' -labsent");
  std::filesystem::remove(folder / "libabsent.so");
  const auto results = validator::validate(folder / "needs.so", options());
  EXPECT_EQ(failed(results), Clauses{"file.loads"});
  EXPECT_NE(detail(results, "file.loads").find("libabsent.so"), std::string::npos);
}

TEST_F(Files, MoreThanTheEntryIsExported) {
  const auto folder = scratch_dir() / "exports";
  write_text(folder / "exports.c", "#include \"" + (source_dir() / "tests/plugins/zoo.h").string() +
                                       "\"\nint a_helper(void);\nint a_helper(void) { return 1; }\n");
  build_plugin(folder / "exports.c", folder / "exports.so", "-fvisibility=default");
  const auto results = validator::validate(folder / "exports.so", options());
  EXPECT_EQ(failed(results), Clauses{"entry.only-export"});
  EXPECT_NE(detail(results, "entry.only-export").find("a_helper"), std::string::npos);
}

// What the C++ library brings into a plugin is not the plugin's; what is its own is.
TEST_F(Files, APluginInCxxNeedsNoVersionScript) {
  const auto source = source_dir() / "plugins/color/color.cpp", library = scratch_dir() / "cxx/color.so";
  build_plugin(source, library);
  EXPECT_EQ(failed(validator::validate(library, options())), Clauses{});
  build_plugin(source, library, "-fvisibility=default");
  const auto results = validator::validate(library, options());
  EXPECT_EQ(failed(results), Clauses{"entry.only-export"});
  EXPECT_NE(detail(results, "entry.only-export").find("thalweg6plugin"), std::string::npos) << table(results);
}

TEST_F(Files, ATextMayHaveLines) {
  const auto folder = scratch_dir() / "lines";
  write_text(
      folder / "lines.c",
      "#define ZOO_BEFORE do { self->host->set_error(self->host, THALWEG_UNAVAILABLE, \"two\\n\\tlines\"); "
      "return THALWEG_UNAVAILABLE; } while (0)\n#include \"" +
          (source_dir() / "tests/plugins/zoo.h").string() + "\"\n");
  build_plugin(folder / "lines.c", folder / "lines.so", "-Wno-unused-variable -Wno-unreachable-code");
  const auto results = validator::validate(folder / "lines.so", options());
  EXPECT_EQ(failed(results), Clauses{"score.runs"}) << table(results);
  EXPECT_NE(detail(results, "score.runs").find("two  lines"), std::string::npos) << table(results);
}

TEST(Growth, AFieldThatIsReadUnaskedIsNamed) {
  if (kSanitized) GTEST_SKIP() << "not under a sanitizer";
  const auto results = validator::validate(zoo("reads_past_size"), options());
  const std::string seen = "the process died of SIGSEGV, given a request whose size ends before `iteration`";
  EXPECT_EQ(detail(results, "request.size"), seen);
  EXPECT_EQ(detail(results, "manners.no-crash"), "request.size: " + seen);
}

// One that must be told where its weights lie is tried up to its activation.
TEST(Bundled, KeepTheContract) {
  std::vector<std::pair<std::string, std::string>> plugins = {
      {"color", "{\"channel\":\"blue\"}"},
      {"analytic", "{\"kind\":\"quadratic\",\"center\":0.3}"},
      {"analytic", "{\"kind\":\"indicator\",\"threshold\":0.7}"}};
  const auto folder = std::filesystem::path(THALWEG_BUILD_DIR) / "plugins";
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (entry.path().extension() == ".so") plugins.emplace_back(entry.path().stem().string(), "{}");
  EXPECT_GE(plugins.size(), 4u);
  for (const auto& [name, config] : plugins) {
    auto o = options();
    o.config = config;
    if (name == "motion") {  // a verifier of videos, which scores what its prompts ask for
      o.frames = 9;
      o.prompts = {"a purple triangle moves left and a green circle vanishes"};
      o.metadata.resize(1, "{}");
    }
    const auto results = validator::validate(folder / (name + ".so"), o);
    const bool needs_configuration =
        detail(results, "life.activate").rfind("activate returned invalid argument", 0) == 0;
    EXPECT_EQ(failed(results), needs_configuration ? Clauses{"life.activate"} : Clauses{})
        << name << " " << config << "\n"
        << table(results);
  }
}

// Two rewards in one library, one of them of latents, with a gradient.
TEST(Bundled, SeveralRewardsAreTriedEach) {
  const auto library = scratch_dir() / "probe.so";
  build_plugin(
      source_dir() / "tests/rewards/fixtures/probe.cpp", library,
      "-Wl,--version-script='" + (source_dir() / "plugins/include/thalweg/exports.map").string() + "'");
  auto o = options();
  o.id = "org.thalweg.test.energy";
  const auto results = validator::validate(library, o);
  EXPECT_EQ(failed(results), Clauses{"config.unknown-key"}) << table(results);  // it reads none
  EXPECT_EQ(detail(results, "gradient.finite-differences"), "");
  o.id = "";
  std::set<std::string> rewards;
  for (const auto& result : validator::validate(library, o)) rewards.insert(result.reward);
  EXPECT_EQ(rewards, (std::set<std::string>{"", "org.thalweg.test.energy", "org.thalweg.test.probe"}));
}

}  // namespace
}  // namespace thalweg::testing
