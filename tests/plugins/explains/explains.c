// Leaves every third sample unscored, and says why.
#include <thalweg/ext/note.h>

#define ZOO_VALUE(b, value)                                                                \
  if (!UNLUCKY(b)) {                                                                       \
    out[b] = (value);                                                                      \
  } else {                                                                                 \
    const thalweg_host_note* note =                                                        \
        (const thalweg_host_note*)self->host->get_extension(self->host, THALWEG_EXT_NOTE); \
    if (note != NULL) note->not_scored(self->host, b, "no face\nis in it");                \
  }
#include "../zoo.h"
