"""The machine under the daemon: sensors, fan, LEDs, button. Trades nothing, and never stops trading."""
