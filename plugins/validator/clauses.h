// The clauses of the contract: one function each, in the order in which they are tried.
#pragma once

#include <vector>

#include "plugins/validator/subject.h"

namespace thalweg::validator {

struct Clause {
  const char* id;
  const char* header;
  const char* rule;   // as a sentence of what holds
  const char* needs;  // id of the clause without which this one says nothing; nullptr: none
  void (*check)(Subject&);
};

/// Of the library as such; then of each of its rewards.
const std::vector<Clause>& library_clauses();
std::vector<Clause> reward_clauses();
const std::vector<Clause>& last_clauses();

/// Parts of reward_clauses().
const std::vector<Clause>& descriptor_clauses();
const std::vector<Clause>& life_clauses();
const std::vector<Clause>& score_clauses();
const std::vector<Clause>& reuse_clauses();
const std::vector<Clause>& thread_clauses();
const std::vector<Clause>& gradient_clauses();
const std::vector<Clause>& group_clauses();

/// Watched during all the others (see Observations); `check` is nullptr.
const std::vector<Clause>& watched_clauses();

/// Ids of the rewards that the library lists.
std::vector<std::string> reward_ids(Subject& subject);

}  // namespace thalweg::validator
