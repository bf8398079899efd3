// One request to a service, from a program that waits for its answer.
#pragma once

#include <functional>
#include <string>

namespace thalweg::service {

/// `url`: "http://host:port" or "unix:PATH".
struct Server {
  std::string url;
  std::string key;  ///< empty: none
};

struct Answer {
  unsigned status = 0;
  std::string body;
};

/// Throws IoError where no server answers; Error for a URL that is none. An answer of any status is returned.
Answer ask(const Server& server, const std::string& method, const std::string& target,
           const std::string& body = "");

/// Server-sent events: `each` gets kind, id and data of one after the other, until the stream ends or it
/// returns false. Throws as ask(), and Error for an answer that is no stream.
void follow(
    const Server& server, const std::string& target, const std::string& last_id,
    const std::function<bool(const std::string& kind, const std::string& id, const std::string& data)>& each);

}  // namespace thalweg::service
