// Asks the host for an extension before init.
#define ZOO_CREATE host->get_extension(host, THALWEG_EXT_LOG)
#include "../zoo.h"
