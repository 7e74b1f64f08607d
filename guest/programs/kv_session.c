#include "guest/programs/kv_session.h"

#include "guest/programs/kv_text.h"

void kv_session_begin(struct kv_server *server, struct kv_client *client, size_t capacity)
{
	kv_request_start(&client->request, &server->store, capacity);
	kv_reply_start(&client->reply, &server->store);
	client->since = client->active = server->store.now;
	client->id = ++server->clients_ever;
	client->next = server->clients;
	client->link = &server->clients;
	if (client->next)
		client->next->link = &client->next;
	server->clients = client;
	server->client_count++;
}

void kv_session_end(struct kv_server *server, struct kv_client *client)
{
	*client->link = client->next;
	if (client->next)
		client->next->link = client->link;
	server->client_count--;
	server->errors_ever += client->reply.errors;
	kv_request_done(&client->request);
	while (client->reply.first)
		kv_reply_drop_piece(&client->reply);
}

/* What follows cannot be understood: the connection ends with the reason. */
static void answer_broken(struct kv_client *client)
{
	kv_reply_begin(&client->reply);
	kv_reply_error(&client->reply, "ERR %s", client->request.error);
	kv_reply_end(&client->reply);
	client->quit = true;
}

/* A browser that was told to send a form here: what follows would be carried out line by line. */
static bool is_http(const struct kv_client *client)
{
	const struct kv_request *request = &client->request;

	return request->argc > 0 && !request->no_memory &&
	       (kv_is(kv_argument(request, 0), "post") || kv_is(kv_argument(request, 0), "host:"));
}

size_t kv_session_run(struct kv_server *server, struct kv_client *client, const unsigned char *data,
	size_t len, size_t *ret_want)
{
	struct kv_request *request = &client->request;
	struct kv_reply *reply = &client->reply;
	enum kv_parsed parsed = KV_REQUEST;
	size_t done = 0;

	while (parsed == KV_REQUEST && !client->quit && !reply->first &&
		reply->room_len - reply->used >= KV_REPLY_LEAST) {
		parsed = kv_request_parse(request, data + done, len - done);
		if (parsed == KV_BROKEN)
			answer_broken(client);
		else if (parsed == KV_REQUEST && is_http(client))
			client->quit = true;
		else if (parsed == KV_REQUEST)
			kv_execute(server, client);
		done += request->taken;
		if (parsed == KV_REQUEST)
			kv_request_done(request);
	}
	*ret_want = parsed == KV_MORE ? request->want : 1;
	return done;
}
