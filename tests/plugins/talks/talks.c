// Good, and talkative: a line at the start, the same lines with each sample, and one of its own for each.
#define ZOO_MEMBERS const thalweg_host_log* log;
#define ZOO_ACTIVATE                                                                           \
  self->log = (const thalweg_host_log*)self->host->get_extension(self->host, THALWEG_EXT_LOG); \
  self->log->log(self->host, THALWEG_LOG_INFO, "the judge is in the chair")
#define ZOO_VALUE(b, value)                                                                             \
  do {                                                                                                  \
    char line[64];                                                                                      \
    snprintf(line, sizeof(line), "sample %u is fine", (unsigned)(request->sample_ids[b] & 0xffffffff)); \
    self->log->log(self->host, THALWEG_LOG_DEBUG, "nobody needs to know");                              \
    self->log->log(self->host, THALWEG_LOG_WARNING, "the light is dim");                                \
    self->log->log(self->host, THALWEG_LOG_INFO, line);                                                 \
    out[b] = (value);                                                                                   \
  } while (0)
#include "../zoo.h"
