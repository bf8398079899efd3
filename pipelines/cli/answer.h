// `thalweg answer`: questions about jobs from a program that does not load the engine itself, a JSON object a
// line.
#pragma once

namespace thalweg::cli {

/// Reads standard input to its end and answers each line by one: {"ask": "validate", "job"}, {"ask": "plan",
/// "job"} (without loading weights), {"ask": "plugins"} or {"ask": "schema"} with {"answer": ...}, or with
/// {"error":
/// {"kind": user | machine, "place", "message"}}.
int answer_questions();

}  // namespace thalweg::cli
