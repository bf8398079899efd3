// Makes an instance without a function to score.
#define ZOO_SCORE_FUNCTION (0 ? score : NULL)
#include "../zoo.h"
