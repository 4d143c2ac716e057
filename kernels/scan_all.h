/* The files of the scan that depend on the instruction set; no guard: they are included once for each. */
#include "scan_find.h"
#include "scan_pattern.h"
#include "scan_together.h"
#include "scan_keyed.h"
#include "scan_wanted.h"
#include "scan_records.h"
