#include <signal.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <iostream>

#include "engine/core/error.h"
#include "engine/core/process.h"
#include "pipelines/service/api/service.h"
#include "pipelines/service/http/server.h"
#include "pipelines/service/options.h"

namespace thalweg::service {

namespace asio = boost::asio;
namespace fs = std::filesystem;

namespace {

constexpr size_t kOwnDescriptors = 256;  // tables, runs, files that are sent

fs::path program() {
  const auto found = program_beside("thalweg");
  if (!found) throw Error("thalweg", "is not beside thalweg-service: build or install it too");
  return *found;
}

fs::path folder_of(const fs::path& path, const char* option) {
  std::error_code code;
  auto folder = fs::canonical(path, code);
  if (code || !fs::is_directory(folder)) throw Error(option, "\"" + path.string() + "\" is no folder");
  return folder;
}

void require_keys_outside_loopback(const Options& options) {
  boost::system::error_code code;
  const auto address = asio::ip::make_address(options.host, code);
  if (options.host != "localhost" && (code || !address.is_loopback()) && options.keys.empty())
    throw Error("--api-key-file",
                "other machines can reach " + options.host + ": name a file of keys, or serve 127.0.0.1");
}

/// Of each worker, so that none takes another's cores or GPU.
std::vector<Share> shares_of(const Options& options) {
  const auto cores = own_cores();
  const auto each = static_cast<size_t>(options.cores), workers = static_cast<size_t>(options.workers);
  if (each * workers > cores.size())
    throw Error("--cores", std::to_string(each) + " for each of " + std::to_string(workers) +
                               " workers are more than the " + std::to_string(cores.size()) +
                               " that are there");
  std::vector<Share> shares(workers);
  for (size_t i = 0; i < workers; ++i) {
    const auto first = cores.begin() + static_cast<std::ptrdiff_t>(i * each);
    shares[i].cores.assign(first, first + static_cast<std::ptrdiff_t>(each));
    if (!options.gpus.empty()) shares[i].gpu = options.gpus[i % options.gpus.size()];
  }
  return shares;
}

/// What the server begins with, and how it ends.
asio::awaitable<void> live(asio::io_context& context, Supervisor& supervisor, Service& service) {
  co_await supervisor.start();
  service.ready = true;
  asio::signal_set signals(context, SIGINT, SIGTERM);
  boost::system::error_code ignored;
  co_await signals.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  service.ready = false;
  std::cerr << "thalweg serve: stopping; runs keep what they have (once more: at once)" << std::endl;
  ::signal(SIGINT, SIG_DFL);
  ::signal(SIGTERM, SIG_DFL);
  co_await supervisor.stop();
  context.stop();
}

}  // namespace

int serve(const Options& options) {
  require_keys_outside_loopback(options);
  ::signal(SIGPIPE, SIG_IGN);
  asio::io_context context(1);
  Store store(options.store, context);
  const Policy policy{
      .root = folder_of(options.root, "--root"),
      .plugins = {options.plugins.begin(), options.plugins.end()},
      .hosts = {options.remotes.begin(), options.remotes.end()},
      .python_rewards = options.python,
      .is_loaded = [&store](const std::string& name) { return store.loaded_plugin(name).has_value(); }};
  auto hosts = options.hosts;
  hosts.push_back(options.host);
  const Gate gate(options.keys, hosts);
  Supervisor supervisor(context, store,
                        {.program = program(),
                         .root = policy.root,
                         .workers = options.workers,
                         .shares = shares_of(options),
                         .grace = std::chrono::seconds(options.grace_s)});
  Checker checker(context, program(), policy.root, std::chrono::seconds(30));
  Checker trials(context, program(), policy.root, std::chrono::seconds(120));
  PluginShelf shelf(context, store, program(), policy.root);
  Service service{.store = store,
                  .supervisor = supervisor,
                  .checker = checker,
                  .trials = trials,
                  .shelf = shelf,
                  .policy = policy,
                  .presets = policy.root / options.presets,
                  .version = THALWEG_VERSION,
                  .workers = options.workers,
                  .max_pending = options.max_pending};
  Router router;
  add_page_routes(router);
  add_job_routes(router, service);
  add_fine_tuning_routes(router, service);
  add_event_routes(router, service);
  add_sample_routes(router, service);
  add_output_routes(router, service);
  add_file_routes(router, service);
  add_plugin_routes(router, service);
  add_reward_routes(router, service);
  add_question_routes(router, service);
  add_operating_routes(router, service);
  HttpLimits limits;
  const auto files = raise_descriptor_limit();
  limits.connections =
      std::min(limits.connections, std::max(files / 2, files - std::min(files, kOwnDescriptors)));
  HttpServer server(context, router, gate, store.uploads(), limits);
  const auto port = server.listen(options.host, options.port);
  if (!options.socket.empty()) server.listen_locally(options.socket);
  asio::co_spawn(context, live(context, supervisor, service), [](std::exception_ptr failure) {
    if (failure) std::rethrow_exception(failure);
  });
  const auto shown = options.host.find(':') == std::string::npos ? options.host : "[" + options.host + "]";
  std::cout << "thalweg serve: http://" << shown << ":" << port << "/" << std::endl;
  context.run();
  return 0;
}

}  // namespace thalweg::service
