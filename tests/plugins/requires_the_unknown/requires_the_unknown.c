// Needs an input that a later version may know.
#define ZOO_INPUTS (THALWEG_INPUT_FRAMES | UINT64_C(1) << 40)
#include "../zoo.h"
