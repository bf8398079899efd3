// The file, its one symbol, its entry and its factory.
#include <elf.h>

#include <cstring>
#include <fstream>
#include <regex>
#include <set>

#include "plugins/validator/clauses.h"
#include "rewards/elf.h"
#include "rewards/text.h"

namespace thalweg::validator {
namespace {

void whole_library(Subject& s) {
  const auto reason = why_not_a_library(s.file);
  require(reason.empty(), "the file " + reason);
}

void loads(Subject& s) {
  s.handle();
}

void entry_symbol(Subject& s) {
  s.entry();
}

template <class T>
std::vector<T> read_table(std::ifstream& file, uint64_t offset, uint64_t bytes) {
  std::vector<T> table(bytes / sizeof(T));
  file.seekg(static_cast<std::streamoff>(offset));
  file.read(reinterpret_cast<char*>(table.data()), static_cast<std::streamsize>(table.size() * sizeof(T)));
  return table;
}

/// Parts of the C++ library that the compiler puts into whoever uses them, visible whatever the author says.
/// They are the same in every library, so that it matters to nobody whose is taken.
bool is_of_the_language(const std::string& name, const Elf64_Sym& symbol) {
  static const std::regex standard("_Z(GV|T[ISTV])?Z?N?[VK]*[RO]?(St|S[absiod]|9__gnu_cxx)");
  const auto binding = ELF64_ST_BIND(symbol.st_info);
  return (binding == STB_WEAK || binding == STB_GNU_UNIQUE) &&
         std::regex_search(name, standard, std::regex_constants::match_continuous);
}

/// Names of the library's own defined symbols that others can see. The dynamic linker has accepted the file
/// by now.
std::set<std::string> exported_symbols(const std::filesystem::path& path) {
  constexpr uint64_t kMostBytes = 64U << 20;
  std::ifstream file(path, std::ios::binary);
  Elf64_Ehdr header{};
  file.read(reinterpret_cast<char*>(&header), sizeof(header));
  if (!file || header.e_shoff == 0 || header.e_shentsize != sizeof(Elf64_Shdr))
    throw Skip("the file was stripped of its list of sections");
  const auto sections =
      read_table<Elf64_Shdr>(file, header.e_shoff, header.e_shnum * uint64_t{sizeof(Elf64_Shdr)});
  std::set<std::string> names;
  for (const auto& section : sections) {
    if (section.sh_type != SHT_DYNSYM || section.sh_link >= sections.size()) continue;
    const auto& text = sections[section.sh_link];
    if (section.sh_size > kMostBytes || text.sh_size > kMostBytes)
      throw Skip("the list of symbols is too long");
    const auto symbols = read_table<Elf64_Sym>(file, section.sh_offset, section.sh_size);
    const auto strings = read_table<char>(file, text.sh_offset, text.sh_size);
    require(file.good() && !strings.empty() && strings.back() == '\0', "the list of symbols is damaged");
    for (const auto& symbol : symbols) {
      if (symbol.st_shndx == SHN_UNDEF || symbol.st_name >= strings.size() ||
          ELF64_ST_BIND(symbol.st_info) == STB_LOCAL)
        continue;
      const auto name = clean_text(strings.data() + symbol.st_name);
      if (!is_of_the_language(name, symbol)) names.insert(name);
    }
  }
  return names;
}

void only_export(Subject& s) {
  auto names = exported_symbols(s.file);
  names.erase(THALWEG_ENTRY_SYMBOL);
  if (names.empty()) return;
  std::string shown;
  for (const auto& name : names)
    if (shown.size() < 120) shown += (shown.empty() ? "" : ", ") + name;
  throw Breach(std::to_string(names.size()) + " symbols more are exported (" + shown +
               "); compile with -fvisibility=hidden, or hide what a static library brings along by "
               "-Wl,--version-script=.../thalweg/exports.map");
}

void abi_major(Subject& s) {
  const auto abi = s.entry().abi;
  require(abi.major == THALWEG_ABI_MAJOR, "it was built for " + std::to_string(abi.major) + "." +
                                              std::to_string(abi.minor) + ", this program has " +
                                              std::to_string(THALWEG_ABI_MAJOR) + "." +
                                              std::to_string(THALWEG_ABI_MINOR));
}

void entry_functions(Subject& s) {
  const auto& e = s.entry();
  require(e.init != nullptr && e.deinit != nullptr && e.get_factory != nullptr, "one of them is NULL");
}

void entry_init(Subject& s) {
  s.start();
}

void unknown_factory(Subject& s) {
  s.start();
  const void* made =
      s.guarded("get_factory", [&] { return s.entry().get_factory("thalweg.no-such-factory/1"); });
  require(made == nullptr, "it gave something for thalweg.no-such-factory/1");
}

void reward_factory(Subject& s) {
  const auto& f = s.factory();
  require(f.count != nullptr && f.descriptor != nullptr && f.create != nullptr,
          "it has functions that are NULL");
  require(&s.factory() == s.entry().get_factory(THALWEG_REWARD_FACTORY_ID),
          "it gave another table the second time");
}

void rewards(Subject& s) {
  std::set<std::string> seen;
  for (const auto& id : reward_ids(s))
    require(seen.insert(id).second, "two rewards have the id \"" + id + "\"");
}

void unknown_reward(Subject& s) {
  Host host(s.observations);
  const auto& f = s.factory();
  const auto* made =
      s.guarded("create", [&] { return f.create(&f, host.table(), "org.example.there-is-no-such-reward"); });
  require(made == nullptr, "create made an instance of org.example.there-is-no-such-reward");
}

void entry_deinit(Subject& s) {
  s.start();
  s.guarded("deinit", [&] {
    s.entry().deinit();
    return 0;
  });
}

}  // namespace

std::vector<std::string> reward_ids(Subject& s) {
  const auto& f = s.factory();
  const uint32_t count = s.guarded("factory.count", [&] { return f.count(&f); });
  require(count >= 1 && count <= 1024, "count is " + std::to_string(count));
  std::vector<std::string> ids;
  for (uint32_t i = 0; i < count; ++i) {
    const auto* d = s.guarded("factory.descriptor", [&] { return f.descriptor(&f, i); });
    require(d != nullptr, "descriptor " + std::to_string(i) + " is NULL");
    require(d->id != nullptr && *d->id != '\0' && is_clean_text(d->id),
            "descriptor " + std::to_string(i) + " has an id that is NULL, empty or not clean UTF-8");
    ids.emplace_back(d->id);
  }
  return ids;
}

const std::vector<Clause>& library_clauses() {
  static const std::vector<Clause> all = {
      {"file.library", "entry.h", "is a whole ELF shared library for this processor", nullptr, whole_library},
      {"file.loads", "entry.h", "loads with every symbol and library that it needs", "file.library", loads},
      {"entry.symbol", "entry.h", "exports thalweg_entry", "file.loads", entry_symbol},
      {"entry.only-export", "entry.h", "exports nothing else", "entry.symbol", only_export},
      {"abi.major", "version.h", "has this program's ABI major version; the minor is information",
       "entry.symbol", abi_major},
      {"entry.functions", "entry.h", "has all functions of the entry", "abi.major", entry_functions},
      {"entry.init", "entry.h", "starts", "entry.functions", entry_init},
      {"entry.unknown-factory", "entry.h", "knows no factory of an id that does not exist", "entry.init",
       unknown_factory},
      {"entry.reward-factory", "reward.h", "has the factory " THALWEG_REWARD_FACTORY_ID, "entry.init",
       reward_factory},
      {"factory.rewards", "reward.h", "lists at least one reward, each with an id of its own",
       "entry.reward-factory", rewards},
      {"factory.unknown-id", "reward.h", "makes no instance of an id that it does not list",
       "factory.rewards", unknown_reward}};
  return all;
}

const std::vector<Clause>& last_clauses() {
  static const std::vector<Clause> all = {
      {"entry.deinit", "entry.h", "ends after the last instance is destroyed", nullptr, entry_deinit}};
  return all;
}

const std::vector<Clause>& watched_clauses() {
  static const std::vector<Clause> all = {
      {"errors.status", "status.h", "returns no status but those of status.h", nullptr, nullptr},
      {"errors.text", "host.h", "says why, through set_error, whenever it fails", nullptr, nullptr},
      {"host.not-before-init", "reward.h", "asks the host for nothing before init", nullptr, nullptr},
      {"host.log-lines", "ext/log.h", "logs single lines of clean UTF-8", nullptr, nullptr},
      {"host.notes", "ext/note.h", "says of samples of the running call why they are not scored", nullptr,
       nullptr},
      {"life.destroy", "reward.h", "can be destroyed after whatever happened", nullptr, nullptr},
      {"manners.no-exceptions", "reward.h", "lets no exception out", nullptr, nullptr},
      {"manners.no-exit", "reward.h", "does not end the process", nullptr, nullptr},
      {"manners.no-crash", "reward.h", "does not crash", nullptr, nullptr},
      {"manners.returns", "reward.h", "returns from every call in time", nullptr, nullptr},
      {"manners.standard-output", "reward.h", "writes nothing to standard output", nullptr, nullptr},
      {"manners.random-state", "reward.h", "leaves the process's random numbers alone", nullptr, nullptr},
      {"manners.environment", "reward.h",
       "leaves folder, standard descriptors, locale, umask and environment alone", nullptr, nullptr},
      {"manners.signals", "reward.h", "leaves signal handlers and masks alone", nullptr, nullptr},
      {"manners.floating-point", "reward.h", "leaves the floating-point mode alone", nullptr, nullptr}};
  return all;
}

std::vector<Clause> reward_clauses() {
  std::vector<Clause> all;
  for (const auto* part : {&descriptor_clauses(), &life_clauses(), &score_clauses(), &reuse_clauses(),
                           &thread_clauses(), &group_clauses(), &gradient_clauses()})
    all.insert(all.end(), part->begin(), part->end());
  return all;
}

}  // namespace thalweg::validator
