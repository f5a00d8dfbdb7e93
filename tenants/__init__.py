"""The applications that tenants run, one package each: the folder's name is the one false word in the house."""
