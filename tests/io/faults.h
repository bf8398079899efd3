/* Fails chosen calls of the C library on chosen paths, for tests of what is left on the disk. Linked into
   test_io, where a test arms it; as a library of its own (LD_PRELOAD) it is armed by the environment:
   THALWEG_FAULTS="CALLS:NTH:COUNT:ERRNO:PATH", say "write,fsync:3:1:28:/runs/demo", and tells stderr. */
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

/* The nth (from 1) of the calls named in `calls` ("open", "write", "fsync", "rename", "close", "mkdir",
   "unlink", with commas) on a path that holds `path`, and the count - 1 after it, fail with `code`; code 0:
   writes are short. */
void faults_arm(const char* calls, long nth, long count, int code, const char* path);

/* Stops. Returns how many calls failed or were cut short. */
long faults_disarm(void);

/* "[fault] fsync /runs/demo/metrics.jsonl" and a newline: the first call that failed. */
const char* faults_first(void);

#ifdef __cplusplus
}
#endif
