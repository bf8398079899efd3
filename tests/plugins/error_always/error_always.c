// Fails every call, with a text.
#define ZOO_BEFORE                                                      \
  self->host->set_error(self->host, THALWEG_DEVICE, "the lamp is out"); \
  if (request->batch > 0) return THALWEG_DEVICE
#include "../zoo.h"
