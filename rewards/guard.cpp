#include "rewards/guard.h"

#include "rewards/text.h"

namespace thalweg {

std::string let_out(const std::function<void()>& call) {
  try {
    call();
    return "";
  } catch (const std::exception& e) {
    return std::string("let an exception out: ") + clean_text(e.what());
  } catch (...) {
    return "let an exception out";
  }
}

}  // namespace thalweg
