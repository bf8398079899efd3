// Scores well, but has no gradient to give whenever the first sample is an unlucky one.
#define ZOO_VJP                                                                          \
  if (UNLUCKY(0)) {                                                                      \
    self->host->set_error(self->host, THALWEG_UNAVAILABLE, "the slope is under repair"); \
    return THALWEG_UNAVAILABLE;                                                          \
  }
#include "../zoo.h"
