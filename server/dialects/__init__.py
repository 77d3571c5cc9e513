"""The other documented APIs, each a table of routes with pure functions that read requests and show answers.

What they do, `server/commands` does; how HTTP, bodies and descriptions work, `server/api` knows. No name of an API appears outside its
package.
"""
