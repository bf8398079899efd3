// Exports no entry.
#define ZOO_ENTRY not_the_entry
#include "../zoo.h"
