// Every header compiles alone, without a warning, in every language a plugin may be written in.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/abi/compiler.h"

namespace thalweg::testing {
namespace {

std::vector<std::filesystem::path> headers(const std::string& suffix) {
  const auto root = source_dir() / "plugins/include";
  std::vector<std::filesystem::path> found;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root))
    if (entry.path().extension() == suffix) found.push_back(entry.path().lexically_relative(root));
  return found;
}

struct Language {
  const char* name;
  const char* flags;
  bool cxx;
};

void check(const Language& language, const std::filesystem::path& header) {
  const auto source = scratch_dir() / (language.cxx ? "header.cpp" : "header.c");
  // Twice: the guard is part of the check. The function: an empty file is no C.
  const std::string line = "#include <" + header.string() + ">\n";
  write_text(source, line + line + "int thalweg_header_check(void);\n");
  const auto result =
      run_command((language.cxx ? cxx_compiler() : c_compiler()) + " " + language.flags +
                  " -Wall -Wextra -pedantic -Werror -Wconversion -Wsign-conversion -fsyntax-only " +
                  include_flag() + " '" + source.string() + "'");
  EXPECT_EQ(result.status, 0) << header << " as " << language.name << "\n" << result.output;
}

class CHeaders : public ::testing::TestWithParam<Language> {};

TEST_P(CHeaders, CompileAloneWithoutAWarning) {
  const auto all = headers(".h");
  EXPECT_GE(all.size(), 10u);
  for (const auto& header : all) check(GetParam(), header);
}

std::string name_of(const ::testing::TestParamInfo<Language>& info) {
  return info.param.name;
}

INSTANTIATE_TEST_SUITE_P(
    Languages, CHeaders,
    ::testing::Values(Language{"C11", "-std=c11", false}, Language{"C17", "-std=c17", false},
                      Language{"Cxx11", "-std=c++11", true}, Language{"Cxx14", "-std=c++14", true},
                      Language{"Cxx17", "-std=c++17", true}, Language{"Cxx20", "-std=c++20", true}),
    name_of);

TEST(CxxGlue, CompilesWithoutAWarningAsCxx17AndCxx20) {
  for (const Language language :
       {Language{"Cxx17", "-std=c++17", true}, Language{"Cxx20", "-std=c++20", true}})
    check(language, "thalweg/cpp/reward.hpp");
}

TEST(Plugins, NeedNoLibraryAndExportTheEntryAlone) {
  const auto library = scratch_dir() / "alone/brightness.so";
  build_plugin(source_dir() / "plugins/template/c/brightness.c", library, "-Wl,-z,defs");
  const auto symbols = run_command("nm -D --defined-only '" + library.string() + "'");
  ASSERT_EQ(symbols.status, 0) << symbols.output;
  EXPECT_NE(symbols.output.find(" thalweg_entry\n"), std::string::npos) << symbols.output;
  EXPECT_EQ(symbols.output.find('\n'), symbols.output.size() - 1) << "more than one:\n" << symbols.output;
}

TEST(Plugins, WithGlueAndTheVersionScriptExportTheEntryAlone) {
  const auto library = scratch_dir() / "alone/probe.so";
  build_plugin(source_dir() / "tests/rewards/fixtures/probe.cpp", library,
               "-Wl,-z,defs -Wl,--version-script='" +
                   (source_dir() / "plugins/include/thalweg/exports.map").string() + "'");
  const auto symbols = run_command("nm -D --defined-only '" + library.string() + "'");
  EXPECT_NE(symbols.output.find(" thalweg_entry\n"), std::string::npos) << symbols.output;
  EXPECT_EQ(symbols.output.find('\n'), symbols.output.size() - 1) << "more than one:\n" << symbols.output;
}

}  // namespace
}  // namespace thalweg::testing
