// Fails the whole call, with a text, whenever the first sample is an unlucky one.
#define ZOO_BEFORE                                                                   \
  if (UNLUCKY(0)) {                                                                  \
    self->host->set_error(self->host, THALWEG_UNAVAILABLE, "the judge is at lunch"); \
    return THALWEG_UNAVAILABLE;                                                      \
  }
#include "../zoo.h"
