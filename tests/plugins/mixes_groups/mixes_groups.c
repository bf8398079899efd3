// The share that a sample beats of all others of the call, of whichever group.
#define RIVALS(a, b) 1
#include "../wins/wins.c"
