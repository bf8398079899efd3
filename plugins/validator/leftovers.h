// What an instance leaves in the process when it is gone.
#pragma once

#include "plugins/validator/subject.h"

namespace thalweg::validator {

/// Breach where most lives of an instance leave files open, threads running, or memory taken or mapped.
void nothing_left(Subject& subject);

}  // namespace thalweg::validator
