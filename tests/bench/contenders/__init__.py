"""Those that `make bench` compares; each implements `contender.Contender`, and `line_up` lists them all."""
