/* One core, for running expression kernels on the host. */
#ifndef STUB_GAP_H
#define STUB_GAP_H

static inline unsigned int gap_coreid(void) { return 0; }
static inline unsigned int gap_ncore(void) { return 1; }
static inline void gap_waitbarrier(int Barrier) { (void) Barrier; }

#endif
