"""What giftsync serves over HTTP: the receiver of webhooks. It acts only through sync."""
