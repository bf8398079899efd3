#include "pipelines/service/jobs/admission.h"

#include <algorithm>

#include "pipelines/service/http/lower_case.h"
#include "pipelines/service/http/message.h"
#include "pipelines/service/jobs/beneath.h"

namespace thalweg::service {
namespace {

[[noreturn]] void refuse(const std::string& pointer, const std::string& message,
                         const char* code = "not_allowed") {
  throw ApiError(403, code, message, pointer);
}

/// Lists that hold prompts and nothing else.
bool holds_prompts(const std::string& pointer) {
  return pointer == "/prompts/texts" || pointer == "/negative_prompt";
}

/// "example.org:8443" of "https://user@example.org:8443/v1"; in lower case.
std::string authority_of(const std::string& url) {
  const auto begin = url.find("://") + 3;
  auto authority = url.substr(begin, url.find_first_of("/?#\\", begin) - begin);
  if (const auto at = authority.rfind('@'); at != std::string::npos) authority.erase(0, at + 1);
  return lower_case(authority);
}

void check_url(const std::string& pointer, const std::string& url, const Policy& policy) {
  const auto authority = authority_of(url);
  const auto name = authority.substr(0, authority.rfind(':'));
  if (!policy.hosts.contains(authority) && !policy.hosts.contains(name))
    refuse(pointer, "the operator has not allowed requests to \"" + authority + "\" (--allow-remote)",
           "host_not_allowed");
}

void check_value(const std::string& pointer, const Json& value, const Policy& policy) {
  if (holds_prompts(pointer)) return;
  if (value.is_string()) return check_text(pointer, value.get_ref<const std::string&>(), policy);
  if (value.is_array())
    for (size_t i = 0; i < value.size(); ++i)
      check_value(pointer + "/" + std::to_string(i), value[i], policy);
  if (value.is_object())
    for (const auto& [key, inner] : value.items()) check_value(pointer + "/" + key, inner, policy);
}

/// A library is code: by name alone, and only what is admitted.
void check_reward(const std::string& pointer, const Json& reward, const Policy& policy) {
  if (!reward.is_object()) return;
  if (reward.contains("host") && reward.at("host").is_object())
    for (const char* key : {"sandbox", "network", "writable"})
      if (reward.at("host").contains(key))
        refuse(pointer + "/host/" + key, "what a reward's process may reach is not a job's to say here",
               "reward_not_allowed");
  if (!reward.contains("plugin") || !reward.at("plugin").is_string()) return;
  const auto& name = reward.at("plugin").get_ref<const std::string&>();
  if (name.find('/') != std::string::npos || name.ends_with(".so"))
    refuse(pointer + "/plugin", "a job may name installed rewards alone, not a library's file",
           "reward_not_allowed");
  if (policy.is_loaded(name)) {
    if (reward.value("isolation", Json("")) == "inproc")
      refuse(pointer + "/isolation", "a reward that was loaded here runs in a process of its own",
             "reward_not_allowed");
    return;
  }
  if (name == "python" && !policy.python_rewards)
    refuse(pointer + "/plugin", "the operator has not allowed rewards in Python (--allow-python)",
           "reward_not_allowed");
  if (!policy.plugins.empty() && !policy.plugins.contains(name))
    refuse(pointer + "/plugin", "the operator has not admitted the reward \"" + name + "\" (--plugin)",
           "reward_not_allowed");
}

}  // namespace

void check_text(const std::string& pointer, const std::string& text, const Policy& policy) {
  if (text.find("://") != std::string::npos) return check_url(pointer, text, policy);
  const std::filesystem::path path(text);
  if (path.is_absolute() || text.starts_with("~"))
    refuse(pointer, "a path must be relative to the service's root; this one is not", "path_not_allowed");
  if (std::find(path.begin(), path.end(), "..") != path.end() ||
      (!text.empty() && text.size() < 4096 && look_beneath(policy.root, text) == Beneath::outside))
    refuse(pointer, "leads out of the service's root", "path_not_allowed");
}

void check_admission(const Json& job, const Policy& policy) {
  if (!job.is_object()) return;
  check_value("", job, policy);
  if (job.contains("rewards") && job.at("rewards").is_array())
    for (size_t i = 0; i < job.at("rewards").size(); ++i)
      check_reward("/rewards/" + std::to_string(i), job.at("rewards")[i], policy);
}

}  // namespace thalweg::service
