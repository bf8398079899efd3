#include "rewards/guard.h"

#include "rewards/kept_state.h"
#include "rewards/running_calls.h"
#include "rewards/text.h"

namespace thalweg {

CallEnd call_library(const std::string& plugin, const char* function, const std::function<void()>& call) {
  CallEnd end;
  const KeptState state;
  try {
    const ListedCall listed(plugin, function);
    call();
  } catch (const std::exception& e) {
    end.wrong = std::string("let an exception out: ") + clean_text(e.what());
  } catch (...) {
    end.wrong = "let an exception out";
  }
  end.put_back = state.put_back();
  return end;
}

}  // namespace thalweg
