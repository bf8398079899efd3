// Says why a sample is not scored that the call does not have.
#include <thalweg/ext/note.h>

#define ZOO_AFTER                                                                        \
  const thalweg_host_note* note =                                                        \
      (const thalweg_host_note*)self->host->get_extension(self->host, THALWEG_EXT_NOTE); \
  if (note != NULL) note->not_scored(self->host, request->batch, "who is this")
#include "../zoo.h"
