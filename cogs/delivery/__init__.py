"""The Discord transport: channel, threads, rate budget, status board, live tails."""
