// Reads many files from outside in one process and says of each what became of it: the tests of hostile files
// call it, also as built with the sanitizers.
//   hostile safetensors|weights|png|job|model|tokenizer < paths > results.jsonl
// One path a line; one JSON object a line: {"path", "place", "message"}, both null when the file was read,
// with "seconds" and "peak_mib", by how much the process grew at most meanwhile. Another exception than Error
// ends the program.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <chrono>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>
#include <string>

#include "engine/io/image.h"
#include "engine/io/picture.h"
#include "engine/models/text/clip_tokenizer.h"
#include "engine/weights/safetensors.h"
#include "pipelines/cli/job_file.cpp"  // the program's own files are in no library
#include "pipelines/jobs.h"
#include "pipelines/models.h"

namespace thalweg {
namespace {

using Reader = void (*)(const std::string& path);

void read_job_file(const std::string& path) {
  const auto json = cli::load_job({path, {}, "", ""});
  checked_job(json)->check_folder();
  resolved_job(json).dump();
}

const std::map<std::string, Reader>& readers() {
  static const std::map<std::string, Reader> table = {
      {"safetensors", [](const std::string& path) { read_safetensors(path); }},
      {"weights", [](const std::string& path) { read_weights(path, "model"); }},
      {"png", [](const std::string& path) { read_png(path); }},
      {"picture", [](const std::string& path) { read_picture(path); }},
      {"job", read_job_file},
      {"model",
       [](const std::string& path) {
         const auto model = load_model(path, {at::kFloat, at::kFloat, 1});
         model->schedule(4, 64, 64);  // its scheduler's own, where no job names another
         model->encode({"a"});        // text encoders come with the first
       }},
      {"tokenizer", [](const std::string& path) { ClipTokenizer::load(path); }},
  };
  return table;
}

/// A line of /proc/self/status in MiB: VmRSS, or VmHWM, its peak.
double memory(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(key + ":")) return std::stod(line.substr(key.size() + 1)) / 1024.0;
  return 0.0;
}

Json outcome(Reader read, const std::string& path) {
  std::ofstream("/proc/self/clear_refs") << "5";  // the peak starts anew
  const auto before = memory("VmRSS");
  const auto start = std::chrono::steady_clock::now();
  Json result = {{"path", path}, {"place", nullptr}, {"message", nullptr}};
  try {
    read(path);
  } catch (const Error& error) {
    result["place"] = error.place();
    result["message"] = error.message();
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  result["seconds"] = seconds.count();
  result["peak_mib"] = memory("VmHWM") - before;
  return result;
}

}  // namespace
}  // namespace thalweg

int main(int argc, char** argv) {
  const auto& table = thalweg::readers();
  const auto reader = argc == 2 ? table.find(argv[1]) : table.end();
  if (reader == table.end()) {
    std::cerr << "usage: hostile safetensors|weights|png|job|model|tokenizer < paths > results.jsonl\n";
    return 2;
  }
  at::set_num_threads(1);
  for (std::string path; std::getline(std::cin, path);)
    std::cout << thalweg::outcome(reader->second, path).dump() << std::endl;
  return 0;
}
