"""The connection to Discord: logging in, staying, coming back. What is said and answered over it is in `cogs`.

run           what goes on for as long as opsbot is to be on Discord
logins        logs in, with a new client after each end, and says what a person has to mend
client        the client of one log-in: its events, and who takes each
registration  the slash commands, made known to Discord
connection    the gateway, kept up however long Discord is away
sightings     other bots' presences and voice channels, from the gateway's events
clock         what time it is at Discord
link          how it stands at one moment; all that the rest of opsbot needs to know
"""
