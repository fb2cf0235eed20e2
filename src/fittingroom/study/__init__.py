"""Where training meets the store: plan runs, execute them, several at once, measure their cost."""
