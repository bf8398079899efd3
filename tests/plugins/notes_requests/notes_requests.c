// Good. Appends a line for each sample of each call to the file that the variable THALWEG_NOTES names:
// s or v (score, vjp), phase, iteration, step_index, id, seed. To that of THALWEG_NOTES_PROMPTS: phase,
// prompt and metadata, with tabs between them.
#define ZOO_BEFORE note(request, 's'), note_prompts(request)
#define ZOO_VJP note(request, 'v')
#define ZOO_HELPERS                                                                               \
  static void note(const thalweg_score_request* request, char call) {                             \
    const size_t later = offsetof(thalweg_score_request, iteration) + sizeof(int64_t);            \
    const char* path = request->size < later ? NULL : getenv("THALWEG_NOTES");                    \
    FILE* file = path == NULL ? NULL : fopen(path, "a");                                          \
    if (file == NULL) return;                                                                     \
    for (uint32_t b = 0; b < request->batch; ++b)                                                 \
      fprintf(file, "%c %u %lld %d %llu %llu\n", call, (unsigned)request->phase,                  \
              (long long)request->iteration, (int)request->step_index,                            \
              (unsigned long long)request->sample_ids[b], (unsigned long long)request->seeds[b]); \
    fclose(file);                                                                                 \
  }                                                                                               \
  static void note_prompts(const thalweg_score_request* request) {                                \
    const char* path = getenv("THALWEG_NOTES_PROMPTS");                                           \
    FILE* file = path == NULL ? NULL : fopen(path, "a");                                          \
    if (file == NULL) return;                                                                     \
    for (uint32_t b = 0; b < request->batch; ++b)                                                 \
      fprintf(file, "%u\t%s\t%s\n", (unsigned)request->phase, request->prompts[b],                \
              request->metadata_json[b]);                                                         \
    fclose(file);                                                                                 \
  }
#include "../zoo.h"
