"""What is kept, and what training and serving must do alike."""

import os

# Before torch loads, since OpenMP reads it then: threads that wait must not spin. With another process
# on one of two cores, 20 training steps took 10.8 s; waiting passively 5.8 s (3.3 and 3.5 s alone).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# But a moment of it pays: alone, a step took 188 ms without, 174 with 1,000 turns, 147 with torch's 300,000;
# beside another process 270, 266 and 2,277.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
