"""One contract suite for every side: fake, emulator or real."""
