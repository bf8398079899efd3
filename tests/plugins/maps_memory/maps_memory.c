// Maps 4 KiB in each score and never unmaps them.
#include <sys/mman.h>
#define ZOO_AFTER (void)mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
#include "../zoo.h"
