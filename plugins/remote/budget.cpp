#include "budget.h"

#include <utility>

namespace remote {

Budget::Budget(Store& store, std::string judge, const Caps& caps)
    : store_(store), judge_(std::move(judge)), caps_(caps) {
  store_.run("INSERT INTO spent VALUES (?, 0, 0, 0) ON CONFLICT (judge) DO NOTHING",
             {std::string_view(judge_)});
}

std::string Budget::reserve(const Spending& most) {
  // Attempts may have taken more than was set aside: what costs nothing is asked all the same.
  if (most.requests == 0 && most.tokens == 0 && most.cost == 0) return "";
  const int set_aside = store_.run(
      "UPDATE spent SET requests = requests + ?2, tokens = tokens + ?3, cost = cost + ?4 WHERE judge = ?1 "
      "AND "
      "(?5 = 0 OR requests + ?2 <= ?5) AND (?6 = 0 OR tokens + ?3 <= ?6) AND (?7 = 0.0 OR cost + ?4 <= ?7)",
      {std::string_view(judge_), most.requests, most.tokens, most.cost, caps_.requests, caps_.tokens,
       caps_.cost});
  if (set_aside == 1) return "";
  const auto now = spent();
  if (caps_.requests != 0 && now.requests + most.requests > caps_.requests)
    return "the cap of " + std::to_string(caps_.requests) + " requests is reached (/limits/max_requests)";
  if (caps_.tokens != 0 && now.tokens + most.tokens > caps_.tokens)
    return "the cap of " + std::to_string(caps_.tokens) + " tokens is reached (/limits/max_tokens)";
  return "the cap on cost is reached (/limits/max_cost)";
}

void Budget::settle(const Spending& reserved, const Spending& used) {
  store_.run("UPDATE spent SET requests = requests + ?, tokens = tokens + ?, cost = cost + ? WHERE judge = ?",
             {used.requests - reserved.requests, used.tokens - reserved.tokens, used.cost - reserved.cost,
              std::string_view(judge_)});
}

Spending Budget::spent() {
  Spending spent;
  store_.run(
      "SELECT requests, tokens, cost FROM spent WHERE judge = ?", {std::string_view(judge_)},
      [&](sqlite3_stmt* row) {
        spent = {sqlite3_column_int64(row, 0), sqlite3_column_int64(row, 1), sqlite3_column_double(row, 2)};
      });
  return spent;
}

}  // namespace remote
