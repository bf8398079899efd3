// A connection of the service: the client sends these bytes, and closes. Routes of each kind, without what
// stands behind them.
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <filesystem>

#include "pipelines/service/api/form.h"
#include "pipelines/service/http/connection.h"
#include "pipelines/service/http/gate.h"
#include "tests/fuzz/targets.h"

namespace thalweg::fuzz {
namespace {

namespace asio = boost::asio;
using asio::awaitable;
using namespace thalweg::service;

std::shared_ptr<const Descriptor> some_file() {
  auto file = std::make_shared<Descriptor>(::memfd_create("fuzz", MFD_CLOEXEC));
  const std::string bytes(1000, 'x');
  require(::write(file->get(), bytes.data(), bytes.size()) == 1000, "the file is there");
  return file;
}

struct World {
  std::filesystem::path uploads =
      std::filesystem::temp_directory_path() / ("thalweg-fuzz-" + std::to_string(::getpid()));
  Router router;
  Gate gate{{}, {}};
  HttpLimits limits;
  std::shared_ptr<const Descriptor> file = some_file();

  World() {
    std::filesystem::create_directories(uploads);
    router.add(
        {.method = "GET", .pattern = "/health", .handler = [](Request& request) -> awaitable<Response> {
           co_return json_response(Json(request.query));
         }});
    router.add({.method = "POST",
                .pattern = "/v1/jobs",
                .handler = [](Request& request) -> awaitable<Response> {
                  co_return json_response(parse_json(request.body, "the body"), 201);
                },
                .body = Body::json});
    router.add({.method = "POST",
                .pattern = "/v1/files",
                .handler = [](Request& request) -> awaitable<Response> {
                  const auto form = read_form(request.body_file, request.header("content-type"));
                  const auto copy = request.body_file.string() + ".whole";
                  copy_part(request.body_file, form, copy);
                  require(std::filesystem::file_size(copy) == form.size, "a file is as long as was said");
                  std::filesystem::remove(copy);
                  co_return json_response({{"name", form.filename}}, 201);
                },
                .body = Body::form_file});
    router.add({.method = "GET",
                .pattern = "/v1/jobs/{id}/files/{path...}",
                .handler = [this](Request&) -> awaitable<Response> {
                  co_return Response{.type = "text/plain", .file = file};
                }});
  }
  ~World() { std::filesystem::remove_all(uploads); }
};

awaitable<void> talk(Socket& socket, std::string_view input, std::string& answer) {
  boost::system::error_code code;
  co_await asio::async_write(socket, asio::buffer(input.data(), input.size()),
                             asio::redirect_error(asio::use_awaitable, code));
  socket.shutdown(asio::socket_base::shutdown_send, code);
  co_await asio::async_read(socket, asio::dynamic_buffer(answer),
                            asio::redirect_error(asio::use_awaitable, code));
}

awaitable<void> serve_one(World& world, Socket socket) {
  Connection connection(std::move(socket), /*local=*/false, world.router, world.gate, world.uploads,
                        world.limits);
  co_await connection.serve();
}

}  // namespace

void http(std::string_view input) {
  static World world;
  asio::io_context context(1);
  int ends[2];
  require(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0, "there are sockets");
  const asio::generic::stream_protocol local(AF_UNIX, 0);
  Socket client(context, local, ends[0]);
  std::string answer;
  asio::co_spawn(context, serve_one(world, Socket(context, local, ends[1])), asio::detached);
  asio::co_spawn(context, talk(client, input, answer), asio::detached);
  context.run_for(std::chrono::seconds(8));
  require(context.stopped(), "a connection whose client has closed ends");
  require(answer.empty() || answer.starts_with("HTTP/1."), "what is answered is HTTP");
  require(!answer.starts_with("HTTP/1.1 5"), "no request is the server's fault");
  require(std::filesystem::is_empty(world.uploads), "no upload is left");
}

}  // namespace thalweg::fuzz
