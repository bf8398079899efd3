// What a few-step generator is distilled from: the job's reference, or a model of its own folder, so that a
// generator that exists can go on learning.
#pragma once

#include "pipelines/training/training.h"

namespace thalweg {

struct Teacher {
  Velocity velocity;  // without guidance
  TensorMap start;    // parameters of a role that begins as the teacher
};

/// "teacher".
void describe_teacher(Fields& fields, std::string& folder);
/// Throws Error at /method/teacher for a folder that is none, and for another one than the backbone of a
/// LoRA.
void check_teacher(const std::string& folder, const TrainingOptions& options);
/// `folder`: empty: the reference.
Teacher teacher_of(const Training& training, const std::string& folder);

}  // namespace thalweg
