// jemalloc's controls, in a program that links it; null in any other: to be asked for before each call.
#pragma once

#include <cstddef>

extern "C" __attribute__((weak)) int mallctl(const char* name, void* old_value, std::size_t* old_size,
                                             void* new_value, std::size_t new_size);
