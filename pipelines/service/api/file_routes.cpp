#include <filesystem>
#include <memory>

#include "engine/core/error.h"
#include "engine/core/file.h"
#include "engine/core/sha256.h"
#include "pipelines/service/api/form.h"
#include "pipelines/service/api/service.h"
#include "pipelines/service/api/views.h"
#include "pipelines/service/jobs/beneath.h"

namespace thalweg::service {

using boost::asio::awaitable;
namespace fs = std::filesystem;

namespace {

Json file_view(const FileRow& row) {
  return {{"id", row.id},
          {"object", "file"},
          {"bytes", row.bytes},
          {"created_at", row.created_at},
          {"filename", row.filename},
          {"purpose", row.purpose},
          {"sha256", row.sha256},
          {"status", "processed"}};
}

FileRow found(Service& service, const Request& request) {
  const auto& id = request.arguments.at("id");
  auto row = find_file(service.store.read(), id);
  if (!row) throw ApiError(404, "no_such_file", "there is no file \"" + id + "\"", "id");
  return *std::move(row);
}

awaitable<Response> upload(Service& service, Request& request) {
  const auto form = read_form(request.body_file, request.header("content-type"));
  const auto row = std::make_shared<FileRow>();
  row->id = new_id("file-");
  row->filename = form.filename;
  row->purpose = form.fields.contains("purpose") ? form.fields.at("purpose") : "fine-tune";
  row->created_at = now();
  const fs::path whole = request.body_file.string() + ".whole";
  row->bytes = static_cast<int64_t>(form.size);
  row->sha256 = copy_part(request.body_file, form, whole);
  sync_path(whole);
  fs::rename(whole, service.store.file_path(row->sha256));  // one of the same bytes is the same file
  sync_path(service.store.file_path("").parent_path());
  const Writer::Work keep = [row](Database& database) { insert_file(database, *row); };
  co_await service.store.write(keep);
  co_return json_response(file_view(*row), 201);
}

awaitable<Response> remove(Service& service, Request& request) {
  const auto row = found(service, request);
  const auto left = std::make_shared<int64_t>(0);
  const Writer::Work forget = [row, left](Database& database) { *left = remove_file(database, row); };
  co_await service.store.write(forget);
  std::error_code ignored;
  if (*left == 0) fs::remove(service.store.file_path(row.sha256), ignored);
  co_return json_response({{"id", row.id}, {"object", "file"}, {"deleted", true}});
}

awaitable<Response> list(Service& service, const Request& request) {
  require_known_query(request, {"after", "limit", "purpose", "order"});
  const auto said = [&](const char* name) {
    const auto found = request.query.find(name);
    return found == request.query.end() ? "" : found->second;
  };
  const auto order = said("order");
  if (!order.empty() && order != "asc" && order != "desc")
    throw ApiError(400, "invalid_value", "must be asc or desc", "order");
  const auto limit = limit_of(request);
  co_return json_response(list_view<FileRow>(find_files(service.store.read(), {.after = said("after"),
                                                                               .purpose = said("purpose"),
                                                                               .oldest_first = order == "asc",
                                                                               .limit = limit + 1}),
                                             static_cast<size_t>(limit), file_view));
}

}  // namespace

void add_file_routes(Router& router, Service& service) {
  router.add({.method = "POST",
              .pattern = "/v1/files",
              .summary = "Hand over a file: prompts, pairs, pictures",
              .handler = [&service](Request& request) { return upload(service, request); },
              .body = Body::form_file,
              .response_schema = "File"});
  router.add({.method = "GET",
              .pattern = "/v1/files",
              .summary = "Files, the newest first",
              .handler = [&service](Request& request) { return list(service, request); },
              .response_schema = "FileList",
              .query = {{"after", "the files before this one's id"},
                        {"limit", "1 to 100"},
                        {"purpose", "those of this purpose"},
                        {"order", "desc (default), or asc"}}});
  router.add({.method = "GET",
              .pattern = "/v1/files/{id}",
              .summary = "What is known of a file",
              .handler = [&service](Request& request) -> awaitable<Response> {
                co_return json_response(file_view(found(service, request)));
              },
              .response_schema = "File"});
  router.add({.method = "GET",
              .pattern = "/v1/files/{id}/content",
              .summary = "A file's bytes",
              .handler = [&service](Request& request) -> awaitable<Response> {
                const auto row = found(service, request);
                auto opened = open_beneath(service.store.folder(), "files/" + row.sha256);
                if (!opened) throw ApiError(503, "storage", "the file's bytes are gone");
                co_return Response{.type = "application/octet-stream", .file = std::move(opened)};
              }});
  router.add({.method = "DELETE",
              .pattern = "/v1/files/{id}",
              .summary = "Remove a file",
              .handler = [&service](Request& request) { return remove(service, request); },
              .response_schema = "Deleted"});
}

}  // namespace thalweg::service
