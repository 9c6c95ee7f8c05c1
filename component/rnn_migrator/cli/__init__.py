"""The command `rnn-migrate`: one module a command."""
