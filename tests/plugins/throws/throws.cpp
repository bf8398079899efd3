// Throws across the boundary whenever the first sample is an unlucky one.
#include <stdexcept>
#define ZOO_BEFORE \
  if (UNLUCKY(0)) throw std::runtime_error("thrown across the boundary")
#include "../zoo.h"
