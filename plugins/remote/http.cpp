#include "http.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <new>
#include <system_error>
#include <thread>

#include "without_signals.h"

namespace remote {
namespace {

constexpr size_t kMaxHeaderBytes = 64 << 10;

struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
struct FreeMime {
  void operator()(curl_mime* mime) const { curl_mime_free(mime); }
};

/// What the callbacks of one transfer write to.
struct Transfer {
  const AddressRules& rules;
  size_t most;
  HttpReply reply;
  std::string refusal;
  size_t header_bytes = 0;
  bool too_long = false;
};

size_t take_body(char* data, size_t, size_t size, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  if (size > transfer.most - transfer.reply.body.size()) {
    transfer.too_long = true;
    return 0;
  }
  try {
    transfer.reply.body.append(data, size);
  } catch (const std::bad_alloc&) {
    return 0;
  }
  return size;
}

size_t take_header(char*, size_t, size_t size, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  transfer.header_bytes += size;
  transfer.too_long = transfer.header_bytes > kMaxHeaderBytes;
  return transfer.too_long ? 0 : size;
}

/// Sees the very address that libcurl is about to connect to, so that no name can mean another one a moment
/// later.
curl_socket_t open_socket(void* user, curlsocktype, curl_sockaddr* to) {
  auto& transfer = *static_cast<Transfer*>(user);
  auto refusal = transfer.rules.refusal(to->addr);
  if (!refusal.empty()) {
    transfer.refusal = std::move(refusal);
    return CURL_SOCKET_BAD;
  }
  return ::socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

void start_libcurl() {
  static std::once_flag once;
  std::call_once(once, [] {
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) throw std::bad_alloc();
    // Its code must outlast a thread that still looks up a name when this plugin is unloaded.
    Dl_info at{};
    if (::dladdr(reinterpret_cast<const void*>(&curl_easy_init), &at) != 0)
      static_cast<void>(::dlopen(at.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE));
  });
}

std::string header(CURL* handle, const char* name) {
  curl_header* found = nullptr;
  return curl_easy_header(handle, name, 0, CURLH_HEADER, -1, &found) == CURLHE_OK ? found->value : "";
}

bool is_transient(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
      return true;
    default:
      return false;
  }
}

std::string words_of(CURLcode code, double seconds, bool connected) {
  if (code != CURLE_OPERATION_TIMEDOUT) return curl_easy_strerror(code);
  if (!connected) return "no connection in time";
  return "no whole answer within " + std::to_string(static_cast<int>(std::ceil(seconds))) + " s";
}

/// What libcurl borrows for one transfer.
struct Outgoing {
  std::unique_ptr<curl_slist, FreeList> headers;
  std::unique_ptr<curl_mime, FreeMime> mime;

  void add_header(const std::string& line) {
    auto* list = curl_slist_append(headers.get(), line.c_str());
    if (list == nullptr) throw std::bad_alloc();
    static_cast<void>(headers.release());
    headers.reset(list);
  }
};

void set_body(CURL* curl, const HttpRequest& request, Outgoing& outgoing) {
  outgoing.add_header("Expect:");  // no round trip of its own before a large body
  for (const auto& [name, value] : request.headers) outgoing.add_header(name + ": " + value);
  if (request.method != "POST") return;
  if (request.parts.empty()) {
    outgoing.add_header("Content-Type: application/json");
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request.json.data());
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.json.size()));
    return;
  }
  outgoing.mime.reset(curl_mime_init(curl));
  for (const auto& part : request.parts) {
    auto* added = curl_mime_addpart(outgoing.mime.get());
    curl_mime_name(added, part.name.c_str());
    curl_mime_type(added, part.type.c_str());
    // Servers take a part without a file's name for a form's text field.
    curl_mime_filename(added, part.name.c_str());
    if (curl_mime_data(added, part.data.data(), part.data.size()) != CURLE_OK) throw std::bad_alloc();
  }
  curl_easy_setopt(curl, CURLOPT_MIMEPOST, outgoing.mime.get());
}

void set_rules(CURL* curl, Transfer& transfer) {
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
  curl_easy_setopt(curl, CURLOPT_PROXY, "");  // not that of the environment, either
  curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
  curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "thalweg-remote/1");
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075700
  // A name that is still being looked up at the deadline is not waited for: its thread ends by itself.
  curl_easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L);
#endif
  curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, &open_socket);
  curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, &transfer);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &take_body);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, &take_header);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &transfer);
}

void read_result(CURL* curl, CURLcode code, double seconds, Transfer& transfer) {
  auto& reply = transfer.reply;
  long status = 0, request_bytes = 0;
  curl_off_t connected_us = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  curl_easy_getinfo(curl, CURLINFO_REQUEST_SIZE, &request_bytes);
  curl_easy_getinfo(curl, CURLINFO_PRETRANSFER_TIME_T, &connected_us);
  reply.status = static_cast<int>(status);
  reply.sent = request_bytes > 0;
  reply.content_type = header(curl, "content-type");
  reply.retry_after = header(curl, "retry-after");
  if (code == CURLE_OK) return;
  if (!transfer.refusal.empty()) {
    reply.failure = transfer.refusal;
  } else if (transfer.too_long) {
    reply.failure = "the reply is longer than " + std::to_string(transfer.most >> 20) +
                    " MiB, or its headers are (/max_reply_mib)";
  } else {
    reply.transient = is_transient(code) || (code == CURLE_OPERATION_TIMEDOUT && connected_us == 0);
    reply.failure = words_of(code, seconds, connected_us > 0);
  }
}

}  // namespace

struct CurlTransport::Handle {
  Handle() : curl(curl_easy_init()) {
    if (curl == nullptr) throw std::bad_alloc();
  }
  ~Handle() {
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);  // else it changes a handler while it closes connections
    curl_easy_cleanup(curl);
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  CURL* curl;
};

CurlTransport::CurlTransport(Url url, AddressRules rules, Secret secret, HttpOptions options)
    : url_(std::move(url)),
      rules_(std::move(rules)),
      secret_(std::move(secret)),
      options_(std::move(options)) {
  start_libcurl();
}

CurlTransport::~CurlTransport() {
  // To close a connection may write to it.
  const WithoutSignals mask;
  try {
    std::jthread([this] { idle_.clear(); }).join();
  } catch (const std::system_error&) {  // no thread to be had: the rest of this destructor closes them here
  }
}

std::unique_ptr<CurlTransport::Handle> CurlTransport::take() {
  const std::lock_guard lock(mutex_);
  if (idle_.empty()) return std::make_unique<Handle>();
  auto handle = std::move(idle_.back());
  idle_.pop_back();
  return handle;
}

void CurlTransport::give_back(std::unique_ptr<Handle> handle) {
  const std::lock_guard lock(mutex_);
  idle_.push_back(std::move(handle));
}

HttpReply CurlTransport::send(const HttpRequest& request, double seconds) {
  auto handle = take();
  CURL* curl = handle->curl;
  Transfer transfer{
      .rules = rules_, .most = static_cast<size_t>(options_.max_reply_bytes), .reply = {}, .refusal = {}};
  Outgoing outgoing;
  if (!secret_.empty()) outgoing.add_header(secret_.authorization());
  set_body(curl, request, outgoing);
  set_rules(curl, transfer);
  const auto url = url_.text() + request.path;
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, url_.scheme.c_str());
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, outgoing.headers.get());
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS,
                   std::lround(1000 * std::min(options_.connect_s, seconds)));
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, std::max(1L, std::lround(1000 * seconds)));
  if (!options_.ca_file.empty()) curl_easy_setopt(curl, CURLOPT_CAINFO, options_.ca_file.c_str());

  read_result(curl, curl_easy_perform(curl), seconds, transfer);
  transfer.reply.body = secret_.redacted(std::move(transfer.reply.body));
  curl_easy_reset(curl);  // lets go of what this call owns, and keeps the connection
  give_back(std::move(handle));
  return std::move(transfer.reply);
}

}  // namespace remote
