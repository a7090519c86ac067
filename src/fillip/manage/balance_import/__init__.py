"""Balance imports: lots that users held before their programme came to Fillip, from a file into wallets."""
