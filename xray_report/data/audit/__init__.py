"""What a data set holds, what was dropped, and whether its splits can be trusted."""
