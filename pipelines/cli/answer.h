// `thalweg answer`: questions about jobs from a program that does not load the engine itself, a JSON object a
// line.
#pragma once

namespace thalweg::cli {

/// Reads standard input to its end and answers each line by one, {"answer": ...} or {"error": {"kind": user |
/// machine, "place", "message"}}: {"ask": "validate", "job"}, {"ask": "plan", "job"} (without loading
/// weights),
/// {"ask": "plugins", "folders"?}, {"ask": "schema"}, {"ask": "rewards", "rewards"} (what each is, made
/// ready), {"ask": "try", "rewards", "samples": [{"file_name", "name"?, "prompt"?, ...}], "seed"?} (as
/// `thalweg reward try`).
int answer_questions();

}  // namespace thalweg::cli
