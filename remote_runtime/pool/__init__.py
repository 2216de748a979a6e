"""The pool: which worker is warm, who gets which device, and who waits for it."""
