"""Workers: a keeper for the clients, a user process for their code, both forked from a zygote."""
